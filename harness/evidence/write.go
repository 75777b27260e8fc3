package evidence

import (
	"encoding/json"
	"io"

	"github.com/muster/muster/protocol/trace"
)

// WriteTrace writes decoded packets in the form of trace.jsonl. Secrets says whether
// application data may be in it.
func WriteTrace(w io.Writer, packets []*trace.Packet, secrets bool) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for _, p := range packets {
		if err := encoder.Encode(traceLine(p, secrets)); err != nil {
			return err
		}
	}
	return nil
}
