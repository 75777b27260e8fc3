package cloudref

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/cloudref/store"
)

// A deskUser is a user as the desk takes and tells it.
type deskUser struct {
	Name     string `json:"name"`
	Password string `json:"password,omitempty"`
	Devices  int    `json:"devices"`
}

func (s *settings) userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "user", Short: "Make users of the REST API, with the cloud running or not",
	}
	cmd.AddCommand(s.addUserCommand(), s.listUsersCommand())
	return cmd
}

func (s *settings) addUserCommand() *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Make a user, or give one another password", Args: cobra.ExactArgs(1), SilenceUsage: true,
		Long: `Make a user, or give one another password. The password is drawn and printed, once,
or read from the standard input.`,
		Example: `  muster cloud user add alice@example.org
  muster cloud user add alice@example.org --password-stdin < password.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			u := deskUser{Name: args[0], Password: rand.Text()}
			if stdin {
				line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
				if err != nil && !errors.Is(err, io.EOF) {
					return fmt.Errorf("reading the password: %w", err)
				}
				if u.Password = strings.TrimRight(line, "\r\n"); u.Password == "" {
					return &UsageError{errors.New("--password-stdin: the standard input is empty")}
				}
			}
			var made deskUser
			if err := s.ask(cmd.Context(), http.MethodPost, "/users", u, &made); err != nil {
				return err
			}
			if !stdin {
				fmt.Fprintln(cmd.OutOrStdout(), u.Password)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "user %s can log in\n", made.Name)
			return nil
		},
	}
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from the standard input")
	return cmd
}

func (s *settings) listUsersCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the users", Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var users []deskUser
			if err := s.ask(cmd.Context(), http.MethodGet, "/users", nil, &users); err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tDEVICES")
			for _, u := range users {
				fmt.Fprintf(w, "%s\t%d\n", u.Name, u.Devices)
			}
			return w.Flush()
		},
	}
}

func (d *desk) users(w http.ResponseWriter, _ *http.Request) {
	users := []deskUser{}
	for _, a := range d.store.Accounts() {
		users = append(users, deskUser{Name: a.Username, Devices: len(d.store.DevicesOf(a.ID))})
	}
	answer(w, users, nil)
}

// addUser makes a user, or changes the password of one.
func (d *desk) addUser(w http.ResponseWriter, r *http.Request) {
	var u deskUser
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, deskBodyMax)).Decode(&u); err != nil {
		answer(w, nil, fmt.Errorf("not a user: %w", err))
		return
	}
	err := d.setPassword(r.Context(), u)
	answer(w, deskUser{Name: u.Name}, err)
}

func (d *desk) setPassword(ctx context.Context, u deskUser) error {
	if u.Name == "" || strings.ContainsAny(u.Name, " \t\r\n") {
		return fmt.Errorf("user %q: a name has no blanks and is not empty", u.Name)
	}
	rest := api.New(api.Config{Store: d.store})
	defer rest.Close()
	if a, known := d.store.AccountByName(u.Name); known {
		return rest.SetPassword(ctx, a.ID, u.Password)
	}
	_, err := rest.CreateUser(ctx, u.Name, u.Password)
	if errors.Is(err, store.ErrNameTaken) {
		return fmt.Errorf("user %q: there is one whose name differs in case only", u.Name)
	}
	return err
}
