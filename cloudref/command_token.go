package cloudref

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cloudref/api"
)

// A deskToken is a token as the desk gives it out, once.
type deskToken struct {
	User  string `json:"user"`
	Token string `json:"token,omitempty"`
}

func (s *settings) tokenCommand() *cobra.Command {
	return &cobra.Command{
		Use: "token [USER]", Short: "Make a token for the REST API and print it", Args: cobra.MaximumNArgs(1), SilenceUsage: true,
		Long: `Make a token for the REST API, of USER or of the first user, and print it. It does
not expire. The cloud keeps its hash only: nobody can print it again.`,
		Example: "  muster cloud token",
		RunE: func(cmd *cobra.Command, args []string) error {
			t := deskToken{User: firstOf(append(args, defaultOwner)...)}
			if err := s.ask(cmd.Context(), http.MethodPost, "/tokens", t, &t); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), t.Token)
			return nil
		},
	}
}

// issue makes a token of an account that there is.
func (d *desk) issue(w http.ResponseWriter, r *http.Request) {
	var t deskToken
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, deskBodyMax)).Decode(&t); err != nil {
		answer(w, nil, fmt.Errorf("not a user: %w", err))
		return
	}
	a, known := d.store.AccountByName(t.User)
	if !known {
		answer(w, nil, fmt.Errorf("there is no user %q: see muster cloud user list, or make one with muster cloud user add", t.User))
		return
	}
	rest := api.New(api.Config{Store: d.store})
	defer rest.Close()
	var err error
	t.Token, err = rest.IssueToken(r.Context(), a.ID, 0)
	answer(w, t, err)
}
