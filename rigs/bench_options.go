package rigs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/muster/muster/rigs/bench"
	"github.com/muster/muster/rigs/inventory"
)

// benches opens the bench that the flags of a command name.
type benches struct {
	options  bench.Options
	noPerson bool
}

// flags puts what all commands understand on the command of rigs.
func (b *benches) flags(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&b.options.File, "rigs", bench.Path(), "the file of boards (or $MUSTER_RIGS)")
	_ = cmd.MarkPersistentFlagFilename("rigs", "yaml", "yml")
}

// open opens the bench. Somebody is asked for help only at a terminal.
func (b *benches) open(ctx context.Context, cmd *cobra.Command) (*bench.Bench, error) {
	o := b.options
	o.Tell = teller(cmd)
	if in, ok := cmd.InOrStdin().(*os.File); ok && isTerminal(in) && !b.noPerson {
		o.Person, o.Confirm = cmd.ErrOrStderr(), func(ctx context.Context) error { return enter(ctx, in) }
	}
	return bench.Open(ctx, o)
}

// teller tells a person what a command waits for.
func teller(cmd *cobra.Command) func(string) {
	return func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), "muster:", text) }
}

// enter waits for the Enter key.
func enter(ctx context.Context, in io.Reader) error {
	done := make(chan error, 1)
	go func() { // stays behind when nobody types; the program ends soon
		_, err := bufio.NewReader(in).ReadString('\n')
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.New("nobody has pressed Enter")
	}
}

// entry does something with the board that a person means, which is not taken.
func (b *benches) entry(cmd *cobra.Command, which string, do func(*bench.Bench, inventory.Entry) error) error {
	opened, err := b.open(cmd.Context(), cmd)
	if err != nil {
		return err
	}
	defer opened.Close()
	e, err := opened.Entry(which)
	if err != nil {
		return err
	}
	return do(opened, e)
}

// with does something with boards that are taken for it.
func (b *benches) with(ctx context.Context, cmd *cobra.Command, w bench.Wish, do func(*bench.Bench, []*bench.Board) error) (err error) {
	opened, err := b.open(ctx, cmd)
	if err != nil {
		return err
	}
	defer opened.Close()
	boards, err := opened.Take(ctx, w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bench.CloseAll(boards)) }()
	return do(opened, boards)
}

// complete offers the names of boards to the shell.
func (b *benches) complete(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	opened, err := b.open(cmd.Context(), cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer opened.Close()
	var names []string
	for _, e := range opened.File.Boards {
		names = append(names, e.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// wrong returns what is wrong with rigs.yaml; that there is none is not.
func (b *benches) wrong() error {
	_, err := inventory.Load(b.options.File)
	if errors.Is(err, inventory.ErrNoFile) {
		return nil
	}
	return err
}

// translate turns the name of a board in rigs.yaml into its USB path, or its
// serial number; other names it leaves alone.
func (b *benches) translate(name string) string {
	file, err := inventory.Load(b.options.File)
	if err != nil {
		return name // without a file boards go by serial number or USB path
	}
	e, err := file.Entry(name)
	if err != nil {
		return name
	}
	look := inventory.Ports
	switch {
	case b.options.Look != nil:
		look = b.options.Look
	case b.options.Tree != inventory.Tree{}:
		look = b.options.Tree.Ports
	}
	if ports, err := look(); err == nil {
		if s := file.Locate(e, inventory.Find(ports)); s.Board != nil && s.Board.Path != "" {
			return s.Board.Path
		}
	}
	if e.Serial != "" {
		return e.Serial
	}
	return e.USB
}
