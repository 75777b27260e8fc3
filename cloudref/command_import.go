package cloudref

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// importErrorsShown is how many devices that failed are told of one by one.
const importErrorsShown = 20

// Bounds of what goes to the desk at a time, in bytes before base64: far below
// importBodyMax.
const (
	importItemMax = 4 << 10
	importBytes   = 1 << 20
)

func (s *settings) importCommand() *cobra.Command {
	var owner string
	cmd := &cobra.Command{
		Use:   "import FILE|FOLDER|-",
		Short: "Register many devices at a time",
		Long: `Register many devices at a time, with the cloud running or not.

A file holds one device a line, in one of two forms:
  {"id":"e00fce68a1b2c3d4e5f60718","key":"MFkwEwYH…"}   JSON lines; "name" and "owner" may follow
  id,key                                                 a table, with such a first line; name and owner may follow
The key is the public key, SubjectPublicKeyInfo in DER, in base64. A folder holds
<id>.pub.pem for each device. "muster fleet --register" writes all of these.

It can be repeated: devices that are registered already are counted and left as
they are. One with another key than the one registered is an error (see "rekey");
it and other errors are told with their line, and the rest gets in.

Exit codes: 0 all devices are registered, 1 some are not, 2 wrong usage.`,
		Example: `  muster cloud device import fleet.jsonl
  muster fleet --keys seed:7 --devices 100000 --profile boron@6.2.0 --register fleet.jsonl
  ssh bench cat fleet.csv | muster cloud device import -`,
		Args:         cobra.ExactArgs(1),
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.importFile(cmd.Context(), args[0], owner, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&owner, "owner", "", "user name of the owner of devices that name none (default "+defaultOwner+")")
	return cmd
}

func (s *settings) importFile(ctx context.Context, path, owner string, stdin io.Reader, stdout, stderr io.Writer) error {
	next, total, closeFile, err := openImport(path, stdin)
	if err != nil {
		return err
	}
	c, err := dialDesk(ctx, Options{Dir: s.data, NATS: s.nats, NATSFiles: s.natsFiles})
	if err != nil {
		return errors.Join(err, closeFile())
	}
	i := &importing{desk: c, owner: owner, total: total, w: stderr, began: time.Now()}
	if f, ok := stderr.(*os.File); ok {
		i.live = term.IsTerminal(int(f.Fd()))
	}
	err = errors.Join(i.run(ctx, next), closeFile(), c.close())
	i.clear()
	if err != nil {
		return fmt.Errorf("%w; %s: import the file again to go on", err, i.sum())
	}
	fmt.Fprintln(stdout, i.sum())
	if i.failed > 0 {
		return fmt.Errorf("%d devices are not registered", i.failed)
	}
	return nil
}

// An importing is one file on its way to the desk.
type importing struct {
	desk  *deskClient
	owner string
	total int64 // devices, 0 where nobody knows

	batch []importItem
	where []string
	bytes int // in the batch

	added, changed, known, failed int

	w     io.Writer
	live  bool // lines may be written over
	began time.Time
	last  time.Time
}

func (i *importing) run(ctx context.Context, next importSource) error {
	for {
		item, where, err := next()
		var bad *badItem
		switch {
		case errors.Is(err, io.EOF):
			return i.flush(ctx)
		case errors.As(err, &bad):
			i.fail(where, bad.Error())
			continue
		case err != nil:
			return errors.Join(i.flush(ctx), fmt.Errorf("%s: %w", where, err))
		}
		size := len(item.ID) + len(item.Key) + len(item.Name) + len(item.Owner)
		if size > importItemMax {
			i.fail(where, fmt.Sprintf("%d bytes for one device: want up to %d", size, importItemMax))
			continue
		}
		i.batch, i.where = append(i.batch, item), append(i.where, where)
		if i.bytes += size; len(i.batch) == importBatch || i.bytes > importBytes {
			if err := i.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// flush registers what is collected.
func (i *importing) flush(ctx context.Context) error {
	if len(i.batch) == 0 {
		return nil
	}
	var got importAnswer
	if err := i.desk.do(ctx, http.MethodPost, "/devices/import", importRequest{i.owner, i.batch}, &got); err != nil {
		return err
	}
	for _, f := range got.Failed {
		i.fail(i.where[f.Index], f.Error)
	}
	i.added, i.changed, i.known = i.added+got.Added, i.changed+got.Changed, i.known+got.Known
	i.batch, i.where, i.bytes = i.batch[:0], i.where[:0], 0
	i.progress()
	return nil
}

// fail tells of one device, of the first few one by one.
func (i *importing) fail(where, why string) {
	i.clear()
	switch i.failed++; {
	case i.failed <= importErrorsShown:
		fmt.Fprintf(i.w, "%s: %s\n", where, why)
	case i.failed == importErrorsShown+1:
		fmt.Fprintln(i.w, "more errors are counted only")
	}
}

func (i *importing) sum() string {
	text := fmt.Sprintf("%d devices registered, %d already known", i.added, i.known)
	if i.changed > 0 {
		text += fmt.Sprintf(", %d changed", i.changed)
	}
	if i.failed > 0 {
		text += fmt.Sprintf(", %d failed", i.failed)
	}
	return text
}

// progress shows how far it is: in place where lines can be written over, else now
// and then.
func (i *importing) progress() {
	const often, seldom = 200 * time.Millisecond, 10 * time.Second
	done, now := i.added+i.changed+i.known+i.failed, time.Now()
	text := fmt.Sprintf("importing: %d", done)
	if i.total > 0 {
		text += fmt.Sprintf(" of %d", i.total)
	}
	text += fmt.Sprintf(", %.0f a second", float64(done)/now.Sub(i.began).Seconds())
	switch {
	case i.live && now.Sub(i.last) >= often:
		fmt.Fprint(i.w, "\r\x1b[K"+text)
		i.last = now
	case !i.live && now.Sub(i.last) >= seldom && now.Sub(i.began) >= seldom:
		fmt.Fprintln(i.w, text)
		i.last = now
	}
}

func (i *importing) clear() {
	if i.live {
		fmt.Fprint(i.w, "\r\x1b[K")
	}
}
