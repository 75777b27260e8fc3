package report

import (
	"encoding/json"
	"io"
)

// WriteJSON writes the run as one indented JSON document. ReadJSON reads it
// back.
func (r *Run) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(r)
}

// ReadJSON reads a run that WriteJSON wrote.
func ReadJSON(r io.Reader) (*Run, error) {
	run := new(Run)
	if err := json.NewDecoder(r).Decode(run); err != nil {
		return nil, err
	}
	return run, nil
}
