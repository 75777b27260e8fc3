package report

import (
	"encoding/json"
	"fmt"
	"io"
)

// WriteJSON writes the run as one indented JSON document, whose "format" is
// FormatVersion. ReadJSON reads it back.
func (r *Run) WriteJSON(w io.Writer) error {
	run := *r
	run.Format = FormatVersion
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(&run)
}

// ReadJSON reads a run that WriteJSON wrote, this version or an older one. It
// refuses a newer form, whose fields may mean something else.
func ReadJSON(r io.Reader) (*Run, error) {
	run := new(Run)
	if err := json.NewDecoder(r).Decode(run); err != nil {
		return nil, fmt.Errorf("report: this is no report in JSON: %w", err)
	}
	if run.Format > FormatVersion {
		return nil, fmt.Errorf("report: the report has form %d and this program knows %d: use the newer muster that wrote it", run.Format, FormatVersion)
	}
	return run, nil
}
