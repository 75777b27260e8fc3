package control

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
)

// Patience of a Device.
const (
	// DefaultTimeout is how long a request may take: what particle-usb allows.
	DefaultTimeout = time.Minute
	// transferTimeout is how long one transfer may take.
	transferTimeout = 5 * time.Second
)

// A Device makes requests to one board, one at a time.
type Device struct {
	transport Transport
	timeout   time.Duration
	started   time.Time
	fresh     bool // requests of earlier sessions may still hold places
}

// New returns a Device over t, which it closes. A timeout of 0 is
// [DefaultTimeout].
func New(t Transport, timeout time.Duration) *Device {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	return &Device{transport: t, timeout: timeout, started: time.Now(), fresh: true}
}

// Close lets the board go.
func (d *Device) Close() error { return d.transport.Close() }

func (d *Device) now() clock.Instant { return clock.Instant(time.Since(d.started)) }

// Do makes a request and returns the reply's payload. When ctx ends the board is
// told to forget the request.
func (d *Device) Do(ctx context.Context, kind Kind, payload []byte) ([]byte, error) {
	if len(payload) > TransferMax {
		return nil, fmt.Errorf("%s: a payload of %d bytes, and a USB control transfer carries %d", kind, len(payload), TransferMax)
	}
	if err := d.forgetOthers(); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	x := NewExchange(kind, payload, d.now(), d.timeout)
	for !x.Done() {
		if ctx.Err() != nil {
			x.Cancel(d.now(), context.Cause(ctx))
		}
		if t, ok := x.Next(d.now()); ok {
			data, err := d.transfer(t)
			x.Receive(d.now(), data, err)
			continue
		}
		pause(ctx, x.Deadline().Sub(d.now()))
	}
	return x.Result()
}

// forgetOthers frees the places of requests that an earlier program did not
// finish, once. Only a board that is gone, or has no control requests, is an
// error.
func (d *Device) forgetOthers() error {
	if !d.fresh {
		return nil
	}
	_, err := d.transfer(Transfer{Setup: resetSetup(0)})
	if errors.Is(err, ErrGone) || errors.Is(err, ErrStall) {
		return err
	}
	d.fresh = false
	return nil
}

func (d *Device) transfer(t Transfer) ([]byte, error) {
	data := t.Data
	if t.In() {
		data = make([]byte, t.Length)
	}
	n, err := d.transport.Control(t.Setup, data, transferTimeout)
	return data[:min(max(n, 0), len(data))], err
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Simple makes a request without payload of which only the success matters:
// Reset, FactoryReset, EnterDFU, EnterSafeMode, StartListening, StopListening,
// CancelUpdate, CloudConnect, CloudDisconnect.
//
// Device OS: what restarts a board happens one second after the reply.
func (d *Device) Simple(ctx context.Context, kind Kind) error {
	_, err := d.Do(ctx, kind, nil)
	return err
}

// ForceReset restarts a board whose threads hang, without a reply: since 2.0.0.
//
// Device OS: boards with RTL872x do not complete a request without a data stage,
// so it has one byte.
func (d *Device) ForceReset() error {
	_, err := d.transport.Control(Setup{hostToDevice, uint8(serviceRaw), 0, uint16(Reset), 1}, []byte{0}, transferTimeout)
	if errors.Is(err, ErrGone) {
		return nil // faster than its acknowledgement
	}
	return err
}

var isDeviceID = regexp.MustCompile(`^[0-9a-f]{24}$`)

// DeviceID returns the 24 hex digits of the board.
func (d *Device) DeviceID(ctx context.Context) (string, error) {
	id, err := d.text(ctx, DeviceID)
	if err == nil && !isDeviceID.MatchString(id) {
		err = fmt.Errorf("%s: %w: %q", DeviceID, errProtocol, id)
	}
	return id, err
}

// SerialNumber returns what is printed on the board, of 15 characters: since
// 0.9.0 (Gen 3) and 1.5.0 (Gen 2).
func (d *Device) SerialNumber(ctx context.Context) (string, error) { return d.text(ctx, SerialNumber) }

// Version returns the version of Device OS, as "6.2.0".
func (d *Device) Version(ctx context.Context) (string, error) { return d.text(ctx, SystemVersion) }

func (d *Device) text(ctx context.Context, kind Kind) (string, error) {
	reply, err := d.Do(ctx, kind, nil)
	if err != nil {
		return "", err
	}
	text, err := parseBytes(reply)
	return string(text), err
}

// Mode returns whether the board listens: since 0.9.0 (Gen 3) and 1.1.0 (Gen 2).
func (d *Device) Mode(ctx context.Context) (Mode, error) {
	reply, err := d.Do(ctx, GetMode, nil)
	if err != nil {
		return "", err
	}
	v, err := parseVarint(reply)
	if v == 1 {
		return Listening, err
	}
	return Normal, err
}

// CloudStatus returns whether the board is connected: "disconnected",
// "connecting", "connected" or "disconnecting"; since 1.5.0.
func (d *Device) CloudStatus(ctx context.Context) (string, error) {
	reply, err := d.Do(ctx, CloudStatus, nil)
	if err != nil {
		return "", err
	}
	v, err := parseVarint(reply)
	if err == nil && v >= uint64(len(cloudStates)) {
		err = fmt.Errorf("%s: %w: %d", CloudStatus, errProtocol, v)
	}
	if err != nil {
		return "", err
	}
	return cloudStates[v], nil
}

// Modules returns the modules in the main slots.
//
// Device OS: before 5.6.0 it tells no hash, no store and fewer checks.
func (d *Device) Modules(ctx context.Context) ([]pdc.ModuleInfo, error) {
	reply, err := d.Do(ctx, ModuleInfo, nil)
	if err != nil {
		return nil, err
	}
	return parseModules(reply)
}

// Diagnostics returns the board's diagnostics in JSON, as it writes them.
func (d *Device) Diagnostics(ctx context.Context) ([]byte, error) { return d.Do(ctx, Diagnostics, nil) }

// SecurityKey returns a key in DER.
//
// Device OS: Gen 2 only; Gen 3 and later answer "not supported".
func (d *Device) SecurityKey(ctx context.Context, t KeyType) ([]byte, error) {
	reply, err := d.Do(ctx, GetSecurityKey, varint(uint64(t)))
	if err != nil {
		return nil, err
	}
	return parseBytes(reply)
}

// SetSecurityKey writes a key in DER. Gen 2 only, as SecurityKey.
func (d *Device) SetSecurityKey(ctx context.Context, t KeyType, der []byte) error {
	_, err := d.Do(ctx, SetSecurityKey, appendBytes(varint(uint64(t)), 2, der))
	return err
}

// overhead is how many bytes a message has beside its one field of bytes.
var overhead = protowire.SizeTag(1) + protowire.SizeVarint(TransferMax)
