package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"time"

	"github.com/muster/muster/protocol/keyblob"
	"github.com/muster/muster/rigs/dfu"
	"github.com/muster/muster/rigs/handle"
	"github.com/muster/muster/rigs/restapi"
)

// A Plan is what a board is pointed at.
type Plan struct {
	Transport keyblob.Transport
	ServerKey []byte          // SPKI in DER
	Address   keyblob.Address // of the cloud
	// API registers the device's key and tells when the board connects; nil: the
	// key is registered already, and nobody looks.
	API *restapi.Cloud
	// Known hears the device's public key, SPKI in DER, before anything is written:
	// for a cloud that is to know it without the API. Nil: nobody does.
	Known func(ctx context.Context, key []byte) error
	// Online is how long the board may take to connect; 0 is 3 minutes.
	Online time.Duration
	// Keep leaves the board as it is when it does not connect, for people who want
	// to know why. It is still owed what it had.
	Keep bool
	// Leased says that the board is leased beyond this command: at the end of the
	// lease it gets back what it had.
	Leased bool
}

// Tell hears what is done; it must not be nil.
type Tell func(stage string)

// A Provisioner provisions boards and keeps the journal of what is owed to them.
type Provisioner struct {
	Journal *Journal
	// Wait is how long to wait for another process that works on the same board;
	// 0 is 30 seconds.
	Wait time.Duration
}

// work is one operation on one board, whose lock it has.
type work struct {
	journal *Journal
	key     string
	board   *handle.Board
	tool    dfu.Tool
	lock    *os.File
	tell    Tell
}

// begin takes the lock of the board's record.
func (p *Provisioner) begin(ctx context.Context, b *handle.Board, key string, tell Tell) (*work, error) {
	path := filepath.Join(p.Journal.dir, key+".lock")
	wait := p.Wait
	if wait <= 0 {
		wait = 30 * time.Second
	}
	late := time.After(wait)
	for told := false; ; told = true {
		lock, err := tryLock(path)
		if err != nil {
			return nil, err
		}
		if lock != nil {
			return p.locked(b, key, lock, tell)
		}
		if !told {
			tell("waiting for another muster, or a dfu-util that it left, to be done with the board")
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-late:
			return nil, fmt.Errorf("another muster works on %s: wait for it, or end it (it has %s locked)", b, path)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (p *Provisioner) locked(b *handle.Board, key string, lock *os.File, tell Tell) (*work, error) {
	// What dfu-util read for a run that was killed may be a private key.
	scratch := filepath.Join(p.Journal.dir, key+".scratch")
	if err := errors.Join(os.RemoveAll(scratch), os.Mkdir(scratch, 0o700)); err != nil {
		return nil, errors.Join(fmt.Errorf("the journal: %w", err), lock.Close())
	}
	tool := b.DFUTool()
	tool.Scratch, tool.Hold = scratch, append(slices.Clone(tool.Hold), lock)
	return &work{journal: p.Journal, key: key, board: b, tool: tool, lock: lock, tell: tell}, nil
}

func (w *work) end() error { return errors.Join(os.RemoveAll(w.tool.Scratch), w.lock.Close()) }

// Provision points a board at a cloud. Until it has read and put on disk what the
// board had, nothing is written to the board; when anything fails after that, and
// when ctx ends, what the board had is put back. If even that fails the error
// says so, and the journal remembers it.
func (p *Provisioner) Provision(ctx context.Context, b *handle.Board, plan Plan, tell Tell) (err error) {
	id := b.DeviceID()
	if id == "" {
		return fmt.Errorf("%s tells no device id: start it once, so that its serial number is known", b)
	}
	regions, err := dfu.KeysOf(b.Platform, plan.Transport)
	if err != nil {
		return err
	}
	if err := p.ready(ctx, b, plan, id); err != nil {
		return err
	}
	w, err := p.begin(ctx, b, key(b.Serial, b.Path), tell)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.end()) }()
	record, err := w.journal.load(w.key)
	if err != nil {
		return err
	}
	if err := w.journal.otherOwes(w.key); err != nil && record == nil {
		return err
	}
	isOwed := record != nil && record.Server != nil // by a run before: what the board has now is not its own
	if record == nil {
		record = newRecord(b, plan)
		// That the board is in DFU mode is owed too.
		if err := w.journal.save(w.key, record); err != nil {
			return err
		}
	}
	record.Cloud, record.Leased = cloudName(plan.Address), plan.Leased
	if err := w.point(ctx, plan, id, regions, record, isOwed); err != nil {
		if errors.Is(err, errOffline) && plan.Keep {
			return fmt.Errorf("%w; it keeps the new server key, and \"muster rig provision --restore %s\" puts the old one back", err, id)
		}
		tell("putting back what the board had")
		if failed := w.restore(context.WithoutCancel(ctx)); failed != nil {
			if left, _ := w.journal.load(w.key); left != nil && left.Server == nil {
				return fmt.Errorf("%w; the board's keys were not touched, and it may be in DFU mode: reset it (%w)", err, failed)
			}
			return fmt.Errorf("%w; and the board does not have its old server key back yet: \"muster rig provision --restore %s\" pays that once it is plugged in: %w", err, id, failed)
		}
		return fmt.Errorf("%w; the board has what it had", err)
	}
	return nil
}

// ready looks for what would fail later, before the board is disturbed.
func (p *Provisioner) ready(ctx context.Context, b *handle.Board, plan Plan, id string) error {
	if _, err := b.State(); err != nil {
		return err
	}
	if _, err := b.DFUTool().Find(); err != nil {
		return err
	}
	if plan.API == nil {
		return nil
	}
	var refused *restapi.RefusedError
	_, err := plan.API.Device(ctx, id)
	if errors.As(err, &refused) && refused.NotYours() {
		return nil // registering makes it so
	}
	return err
}

func newRecord(b *handle.Board, plan Plan) *Record {
	by := fmt.Sprintf("process %d", os.Getpid())
	if u, err := user.Current(); err == nil {
		by = u.Username + ", " + by
	}
	return &Record{
		Version: recordVersion, Serial: b.Serial, Path: b.Path, Platform: b.Platform, Transport: plan.Transport.String(),
		Began: time.Now().UTC(), By: by,
	}
}

func cloudName(a keyblob.Address) string {
	host := a.Domain
	if host == "" {
		host = fmt.Sprintf("%d.%d.%d.%d", a.IPv4[0], a.IPv4[1], a.IPv4[2], a.IPv4[3])
	}
	return fmt.Sprintf("%s:%d", host, a.Port)
}

// point does the work of Provision behind the first word in the journal.
func (w *work) point(ctx context.Context, plan Plan, id string, regions dfu.Keys, record *Record, isOwed bool) error {
	w.tell("entering DFU mode")
	s, err := w.board.EnterDFU(ctx)
	if err != nil {
		return err
	}
	target := w.board.Target(s)
	w.tell("saving the server key and the device key")
	device, err := w.tool.Read(ctx, target, regions.Device, false)
	if err != nil {
		return err
	}
	server, err := w.tool.Read(ctx, target, regions.Server, false)
	if err != nil {
		return err
	}
	public, err := devicePublicKey(plan.Transport, device)
	if err != nil {
		return err
	}
	if !isOwed {
		record.Server, record.Device = saved(regions.Server, server), saved(regions.Device, device)
	}
	if err := w.journal.save(w.key, record); err != nil {
		return err
	}
	if plan.API != nil {
		w.tell("registering the device key with the cloud")
		if err := plan.API.Register(ctx, id, public.pem, public.algorithm); err != nil {
			return err
		}
	}
	if plan.Known != nil {
		key, err := record.PublicKey()
		if err != nil {
			return err
		}
		if err := plan.Known(ctx, key); err != nil {
			return err
		}
	}
	before := restapi.Device{}
	if plan.API != nil {
		var err error
		if before, err = plan.API.Device(ctx, id); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	w.tell(fmt.Sprintf("writing the server key for %s", cloudName(plan.Address)))
	blob := dfu.Write{Region: regions.Server, Data: blobFor(plan.Transport, plan.ServerKey, plan.Address, regions.Server.Size)}
	// Half a key is worse than either: from here to the end of the write nobody
	// interrupts.
	if err := w.replace(context.WithoutCancel(ctx), target, blob); err != nil {
		return err
	}
	w.tell("starting the board")
	if _, err := w.board.Running(ctx); err != nil {
		return err
	}
	if plan.API == nil {
		return nil
	}
	return w.online(ctx, plan, id, before)
}

// replace writes a region, reads it back, and has the board leave DFU mode.
func (w *work) replace(ctx context.Context, target dfu.Target, blob dfu.Write) error {
	if err := w.tool.Write(ctx, target, blob, false, nil); err != nil {
		return err
	}
	back, err := w.tool.Read(ctx, target, blob.Region, true)
	if err != nil {
		return err
	}
	if !bytes.Equal(back, blob.Data) {
		return fmt.Errorf("the board did not keep what was written to %s: its memory is protected, or worn out", blob.Region)
	}
	return nil
}

// errOffline is a board that does not connect.
var errOffline = errors.New("the board does not connect to the cloud")

// online waits until the cloud has heard the board since before. A cloud may take
// a board for connected for a while after it is not.
func (w *work) online(ctx context.Context, plan Plan, id string, before restapi.Device) error {
	patience := plan.Online
	if patience <= 0 {
		patience = 3 * time.Minute
	}
	w.tell("waiting for the board to connect")
	wait, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		d, err := plan.API.Device(wait, id)
		if err == nil && d.Online && (!before.Online || !d.LastHeard.Equal(before.LastHeard)) {
			return nil
		}
		if err != nil && wait.Err() == nil {
			return err
		}
		select {
		case <-wait.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%w within %s: has it a network (Wi-Fi credentials, SIM), and does %s lead to the cloud from there?", errOffline, patience, cloudName(plan.Address))
		case <-time.After(200 * time.Millisecond):
		}
	}
}
