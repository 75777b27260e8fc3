package target

import (
	"context"
	"crypto/rsa"
	"net/netip"
	"time"

	"github.com/muster/muster/sim/profile"
)

// A Board is a device that is not simulated: a program, or hardware on a rig. The
// suites know it by what it says on the wire; this is all they ask of it besides.
// The methods are called by one goroutine at a time.
type Board interface {
	// Attach points the board at a cloud, and returns who it is. It may leave the
	// board switched on or off; the cloud runs already, and knows the board as soon
	// as Attach has returned.
	Attach(ctx context.Context, cloud Address) (Identity, error)
	// PowerOn makes a board that is off run. On one that runs it does nothing.
	PowerOn(ctx context.Context) error
	// PowerOff stops it at once, as if its supply had failed. An error that is
	// [errors.ErrUnsupported] says that the harness cannot do that to it.
	PowerOff(ctx context.Context) error
	// CanReset and CanCut say why it cannot be reset with its power on, or lose its
	// power at any moment; "": it can.
	CanReset() string
	CanCut() string
	// Reset resets it with its power on, and returns when it was back: what the wire
	// shows from then on is of its new life. Used is called when it was done to it.
	Reset(ctx context.Context, used func()) (back time.Time, err error)
	// CutPower takes its power away at once, without a proof that it is gone.
	CutPower(ctx context.Context) error
	// Command sends a line to the application's console, see ADR 12: "publish NAME
	// DATA", "connect", "disconnect". It returns errors.ErrUnsupported when the
	// board takes none.
	Command(ctx context.Context, line string) error
	// Close gives the board back as Attach found it: its server key, its lease, its
	// process.
	Close() error
}

// An Address is the cloud that a board is pointed at. A transport that is not
// there has the zero AddrPort.
type Address struct {
	// UDP and TCP are where the cloud listens. For boards on a rig Host is what
	// goes into their server key, an IPv4 address or a name; empty: that of UDP.
	UDP, TCP netip.AddrPort
	Host     string
	// Admit, if not nil, makes the cloud know a board before Attach has returned, so
	// that it gets in at its first attempt.
	Admit func(context.Context, Identity) error
	// EC and RSA are the public keys of the cloud, SubjectPublicKeyInfo in DER.
	EC, RSA []byte
}

// An Identity is who a board is. The cloud registers its key.
type Identity struct {
	ID DeviceID
	// Profile is the board and the Device OS version that it is said to have. The
	// Hello is held against it.
	Profile *profile.Profile
	// Key is its public key, SubjectPublicKeyInfo in DER: P-256 over UDP, RSA-1024
	// over TCP.
	Key []byte
	// Private is the private key of a board over TCP, if the harness has it; the
	// wire is read without it too.
	Private *rsa.PrivateKey
	// KeepsState says whether the board goes on with its session when it was
	// restarted, and Why says why that is known; NotKnown: a probe finds out.
	KeepsState Knowledge
	Why        string
	// Commands is true when its application takes the lines of Board.Command.
	Commands bool
	// Name is what people call it, for reports.
	Name string
}

// Knowledge is what is known of a property.
type Knowledge uint8

// What can be known.
const (
	NotKnown Knowledge = iota
	Yes
	No
)

// A BoardLog takes what a board and its driver say, a line each, with the name of
// the source: "console", "process", "rig".
type BoardLog func(source, line string)
