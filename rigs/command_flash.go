package rigs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/rigs/control"
	"github.com/muster/muster/rigs/flash"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/inventory"
)

const longFlash = `Flashes a firmware image onto a board, as one operation.

The image is judged before the board is touched: platform, checksum, size, and the
modules that it needs. Afterwards the board is asked what it runs.

  --by control   USB control requests: any module, Device OS 0.8.0 (Gen 3: 0.9.0) and
                 later, Linux only. The board checks the image before it takes it.
  --by dfu       dfu-util: applications, system parts and radio stacks, also of boards
                 whose Device OS is broken
  --by ymodem    the console, up to Device OS 5.x
  --by ota       over the air, through the cloud that the board is connected to

Without --by it is control where the board answers, and dfu where it does not.

Exit codes: 0 the board runs the image, 1 it does not, 2 wrong usage, 3 it took the
image and cannot tell what it runs, 130 interrupted.`

// flashing are the flags of "muster rig flash".
type flashing struct {
	by     string
	force  bool
	dryRun bool
	within time.Duration
	api    api
}

func flashCommand(host *handle.Host) *cobra.Command {
	var f flashing
	cmd := &cobra.Command{
		Use:   "flash BOARD IMAGE",
		Short: "Flashes a firmware image onto a board, and sees that it runs",
		Long:  longFlash,
		Example: `  muster rig flash e00fce68aabbccddeeff0011 app.bin
  muster rig flash 1-1.4 system-part1.bin --by dfu
  muster rig flash e00fce68aabbccddeeff0011 app.bin --by ota --cloud http://127.0.0.1:8080 --token-file token.txt`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeBoard(host),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return ended(ctx, cmd.ErrOrStderr(), f.run(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr(), host, args[0], args[1]))
		},
	}
	cmd.Flags().StringVar(&f.by, "by", "", "how: control, dfu, ymodem or ota")
	cmd.Flags().BoolVar(&f.force, "force", false, "flash although the board lacks modules that the image needs")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "judge the image against the board, and flash nothing")
	cmd.Flags().DurationVar(&f.within, "within", 10*time.Minute, "how long an update over the air may take")
	cmd.Flags().StringVar(&f.api.url, "cloud", "http://127.0.0.1:8080", "URL of the cloud's REST API, for --by ota")
	f.api.flags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions([]string{"control", "dfu", "ymodem", "ota"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f *flashing) run(ctx context.Context, out, told io.Writer, host *handle.Host, board, file string) error {
	way, err := f.way()
	if err != nil {
		return err
	}
	image, err := flash.Load(file)
	if err != nil {
		return err
	}
	return withBoard(ctx, host, board, "flash", func(b *handle.Board) error {
		fmt.Fprintf(out, "%s: %s\n", b, image)
		if f.dryRun {
			return judge(ctx, out, b, image)
		}
		way := way
		if way == nil {
			if way, err = choose(ctx, b, image); err != nil {
				return err
			}
		}
		p := &progress{w: told, live: isTerminal(told)}
		began := time.Now()
		r, err := flash.Flash(ctx, b, image, way, flash.Options{Force: f.force}, p.tell)
		p.end()
		switch {
		case errors.Is(err, flash.ErrUnverified):
			fmt.Fprintf(told, "muster: %v\n", err)
			return &exitError{exitInconclusive}
		case err != nil:
			return err
		}
		fmt.Fprintf(out, "\n%s\n\n%s runs it: flashed by %s in %s.\n", moduleTable(r.After), b, way.Name(), time.Since(began).Round(100*time.Millisecond))
		return nil
	})
}

// way returns how to flash, nil if that is to be chosen.
func (f *flashing) way() (flash.Way, error) {
	switch f.by {
	case "":
		return nil, nil //nolint:nilnil // none was said
	case "control":
		return flash.Control{}, nil
	case "dfu":
		return flash.DFU{}, nil
	case "ymodem":
		return flash.YModem{}, nil
	case "ota":
		cloud, err := f.api.cloud()
		return flash.OTA{Cloud: cloud, Within: f.within}, err
	}
	return nil, &usageError{fmt.Errorf("--by %s: want control, dfu, ymodem or ota", f.by)}
}

// choose takes the way that fits the board as it is.
func choose(ctx context.Context, b *handle.Board, image *flash.Image) (flash.Way, error) {
	s, err := b.State()
	if err != nil {
		return nil, err
	}
	if s.Mode == inventory.DFU {
		return flash.DFU{}, nil
	}
	asked := b.Ask(func(d *control.Device) error {
		_, err := d.Version(ctx)
		return err
	})
	var refused *control.ResultError
	switch {
	case asked == nil || errors.As(asked, &refused):
		return flash.Control{}, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case image.Modules[0].Function == pdc.ModuleBootloader:
		return nil, fmt.Errorf("a bootloader goes by control request, and the board answers none: %w", asked)
	}
	return flash.DFU{}, nil
}

// judge says whether an image fits a board.
func judge(ctx context.Context, w io.Writer, b *handle.Board, image *flash.Image) error {
	if err := image.Check(b.Platform, nil); err != nil {
		return err
	}
	var modules []pdc.ModuleInfo
	err := b.Ask(func(d *control.Device) (err error) {
		modules, err = d.Modules(ctx)
		return err
	})
	if err != nil {
		fmt.Fprintf(w, "The board does not tell its modules: %v\nThe image is for its platform; whether it has what the image needs is not known.\n", err)
		return nil
	}
	fmt.Fprintf(w, "\n%s\n\n", moduleTable(modules))
	if err := image.Check(b.Platform, modules); err != nil {
		return err
	}
	fmt.Fprintln(w, "The image fits the board. Nothing was flashed.")
	return nil
}

// progress shows how far an operation is: on a terminal one line that moves, else
// a line for each stage.
type progress struct {
	w     io.Writer
	live  bool
	stage string
	drawn bool // a line that moves is on the screen
	last  time.Time
}

func (p *progress) tell(e flash.Progress) {
	const often = 100 * time.Millisecond
	isNew := e.Stage != p.stage
	p.stage = e.Stage
	switch {
	case isNew:
		p.end()
	case !p.live, time.Since(p.last) < often && e.Done != e.Total:
		return
	}
	p.last = time.Now()
	if e.Total == 0 || !p.live {
		fmt.Fprintf(p.w, "  %s\n", e.Stage)
		return
	}
	const width = 30
	full := int(width * e.Done / e.Total)
	fmt.Fprintf(p.w, "\r  %-10s %s%s %3d%% of %d bytes", e.Stage, strings.Repeat("█", full), strings.Repeat("░", width-full), 100*e.Done/e.Total, e.Total)
	p.drawn = true
}

// end leaves a line that moves.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprintln(p.w)
		p.drawn = false
	}
}
