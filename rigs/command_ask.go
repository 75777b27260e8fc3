package rigs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/muster/muster/rigs/bench"
	"github.com/muster/muster/rigs/listening"
)

// questions are what a board in listening mode is asked or told on its console.
var questions = []struct {
	word, short string
	do          func(context.Context, listening.Console, *asking) error
}{
	{"identity", "device id, and what else it tells (i)", askIdentity},
	{"version", "Device OS (v)", line(listening.Version)},
	{"mac", "address of the network interface (m)", line(listening.MAC)},
	{"modules", "what firmware is installed, in JSON (s)", object(listening.Modules)},
	{"diagnostics", "how it is, in JSON (d; Device OS 0.8.0 and later)", object(listening.Diagnostics)},
	{"claimed", "whether it belongs to somebody (c; 0.6.4 and later)", askClaimed},
	{"claim-code", "give it a claim code, from standard input (C; 0.6.4 and later)", setClaimCode},
	{"wifi", "give it the network --ssid, the password from standard input (w)", setWiFi},
	{"safe-mode", "restart into safe mode (L; 0.6.4 and later)", func(ctx context.Context, c listening.Console, _ *asking) error { return listening.SafeMode(ctx, c) }},
	{"leave", "leave listening mode (x)", func(ctx context.Context, c listening.Console, _ *asking) error { return listening.Leave(ctx, c) }},
}

// asking is what a question needs besides.
type asking struct {
	in          io.Reader
	out, err    io.Writer
	showSecrets bool
	wifi        listening.Credentials
}

func askCommand(b *benches) *cobra.Command {
	var a asking
	var long strings.Builder
	var words []string
	long.WriteString("Asks or tells a board in listening mode something on its console.\n\n")
	for _, q := range questions {
		fmt.Fprintf(&long, "  %-12s %s\n", q.word, q.short)
		words = append(words, q.word)
	}
	long.WriteString("\nSecrets are read from standard input, and asked for without an echo at a terminal.")
	cmd := &cobra.Command{
		Use:   "ask BOARD WHAT",
		Short: "Talks to a board in listening mode",
		Long:  long.String(),
		Example: `  muster rig ask boron-1 identity
  muster rig ask p2-1 wifi --ssid lab < password.txt`,
		Args: cobra.ExactArgs(2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return words, cobra.ShellCompDirectiveNoFileComp
			}
			return b.complete(cmd, args, typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			a.in, a.out, a.err = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			for _, q := range questions {
				if q.word != args[1] {
					continue
				}
				return ended(ctx, cmd.ErrOrStderr(), b.with(ctx, cmd, bench.Wish{Which: args[0], Reason: "ask", Sick: true}, func(_ *bench.Bench, boards []*bench.Board) error {
					ready, cancel := context.WithTimeout(ctx, patience)
					defer cancel()
					if err := boards[0].Ready(ready); err != nil {
						return err
					}
					if boards[0].RunsApplication(ctx) {
						return fmt.Errorf("board %s: %w", boards[0].Name(), listening.ErrRunning)
					}
					return q.do(ctx, boards[0].Console, &a)
				}))
			}
			return &usageError{fmt.Errorf("%q: want one of %s", args[1], strings.Join(words, ", "))}
		},
	}
	cmd.Flags().BoolVar(&a.showSecrets, "show-secrets", false, "print the device secret too")
	cmd.Flags().StringVar(&a.wifi.SSID, "ssid", "", "name of the Wi-Fi network")
	cmd.Flags().IntVar(&a.wifi.Security, "security", 3, "of a network that the board does not find: 0 open, 1 WEP, 2 WPA, 3 WPA2, 6 WPA3")
	return cmd
}

func line(ask func(context.Context, listening.Console) (string, error)) func(context.Context, listening.Console, *asking) error {
	return func(ctx context.Context, c listening.Console, a *asking) error {
		text, err := ask(ctx, c)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.out, text)
		return err
	}
}

func object[T ~[]byte](ask func(context.Context, listening.Console) (T, error)) func(context.Context, listening.Console, *asking) error {
	return func(ctx context.Context, c listening.Console, a *asking) error {
		text, err := ask(ctx, c)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.out, "%s\n", text)
		return err
	}
}

func askIdentity(ctx context.Context, c listening.Console, a *asking) error {
	id, err := listening.Identify(ctx, c)
	if err != nil {
		return err
	}
	for _, f := range []struct{ name, value string }{
		{"device id", id.DeviceID},
		{"serial number", id.SerialNumber},
		{"IMEI", id.IMEI},
		{"ICCID", id.ICCID},
		{"cell radio", id.Radio},
		{"device secret", id.Secret},
	} {
		if f.name == "device secret" && f.value != "" && !a.showSecrets {
			f.value = "[redacted]"
		}
		if f.value != "" {
			fmt.Fprintf(a.out, "%-14s %s\n", f.name, f.value)
		}
	}
	return nil
}

func askClaimed(ctx context.Context, c listening.Console, a *asking) error {
	yes, err := listening.Claimed(ctx, c)
	if err != nil {
		return err
	}
	word := "no"
	if yes {
		word = "yes"
	}
	_, err = fmt.Fprintln(a.out, word)
	return err
}

func setClaimCode(ctx context.Context, c listening.Console, a *asking) error {
	code, err := a.secret("Claim code: ")
	if err != nil {
		return err
	}
	return listening.SetClaimCode(ctx, c, code)
}

func setWiFi(ctx context.Context, c listening.Console, a *asking) error {
	if a.wifi.SSID == "" {
		return &usageError{errors.New("--ssid names the network")}
	}
	password, err := a.secret("Password: ")
	if err != nil {
		return err
	}
	w := a.wifi
	w.Password = password
	if password == "" {
		w.Security = 0
	}
	return listening.SetUpWiFi(ctx, c, w)
}

// secret reads a line that is for no screen.
func (a *asking) secret(prompt string) (string, error) {
	if f, ok := a.in.(*os.File); ok && isTerminal(f) {
		fmt.Fprint(a.err, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.err)
		return string(b), err
	}
	text, err := bufio.NewReader(a.in).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimRight(text, "\r\n"), err
}
