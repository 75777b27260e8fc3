package cloudref

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// A deskTrust says for how long unknown devices are let in.
type deskTrust struct {
	For time.Duration `json:"for"` // nanoseconds
}

func (s *settings) trustCommand() *cobra.Command {
	return &cobra.Command{
		Use: "trust DURATION", Short: "Register every device that connects in that time to the running cloud", Args: cobra.ExactArgs(1), SilenceUsage: true,
		Long: `Let the running cloud register every device that connects in the given time with the
key that it has, if it has no other key already. The devices belong to the first
user. Who connects in that time gets in for good, so keep it short; 0 ends it.`,
		Example: "  muster cloud device trust 10m",
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := time.ParseDuration(args[0])
			if err != nil || d < 0 || d > trustMax {
				return &UsageError{fmt.Errorf("%s: want a duration up to %v, such as 10m", args[0], trustMax)}
			}
			var t deskTrust
			if err := s.ask(cmd.Context(), http.MethodPost, "/trust", deskTrust{For: d}, &t); err != nil {
				return err
			}
			if t.For == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "only registered devices get in")
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "every device that connects in the next %v is registered\n", t.For.Round(time.Second))
			return nil
		},
	}
}

func (d *desk) trust(w http.ResponseWriter, r *http.Request) {
	var t deskTrust
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, deskBodyMax)).Decode(&t); err != nil {
		answer(w, nil, fmt.Errorf("not a time: %w", err))
		return
	}
	if d.cloud == nil {
		answer(w, nil, errors.New("no cloud runs on this data directory: start it with --trust-new-for"))
		return
	}
	err := d.cloud.letIn(r.Context(), t.For)
	answer(w, deskTrust{For: d.cloud.trust.left()}, err)
}
