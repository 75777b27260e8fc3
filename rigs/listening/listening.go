// Package listening talks to a board in listening mode: the single letters of
// Device OS's set-up console, and its questions.
//
// What works depends on the release (Device OS: system/src/system_setup.cpp): i,
// m, v, s, w, x and f from 0.4.9 on, L, c and C from 0.6.4, d from 0.8.0; f
// refuses from 6.0.0 on, and protected devices answer nothing. A board tells no
// prompt and no echo of a letter, so a reply is what comes until it is quiet.
//
// What this package is not: a way into listening mode, or out of it for good.
package listening

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/muster/muster/rigs/serial"
)

// Times of a dialogue.
const (
	// Quiet ends a reply.
	Quiet = 250 * time.Millisecond
	// Patience is how long a board may take to begin to answer.
	Patience = 5 * time.Second
	// WiFiPatience is how long it may take to look for a network.
	WiFiPatience = 30 * time.Second
)

// ErrNotListening says that a letter had no answer.
var ErrNotListening = errors.New("the board does not answer: it is not in listening mode (hold MODE for three seconds, or \"muster rig touch listen\" up to Device OS 5.x), its release does not know this, or it is a protected device")

// ErrRunning says that the application runs, which the letters would reach.
var ErrRunning = errors.New("the board is not in listening mode, its application runs (hold MODE for three seconds; \"muster rig control BOARD listen\", or \"muster rig touch listen BOARD\" up to Device OS 5.x)")

// ErrFormat says that an answer is not understood.
var ErrFormat = errors.New("the answer is not what Device OS says in listening mode: another program talks to the board, or it is not in that mode and its application answers")

// A Console is what a dialogue needs of a board.
type Console interface {
	Write(ctx context.Context, b []byte) error
	Hear() *serial.Ear
}

// ask sends a letter and returns the reply.
func ask(ctx context.Context, c Console, letter byte) (string, error) {
	ear := c.Hear()
	defer ear.Close()
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	if err := c.Write(ctx, []byte{letter}); err != nil {
		return "", err
	}
	got, err := ear.Quiet(ctx, Quiet)
	if errors.Is(err, serial.ErrQuiet) && ctx.Err() != nil {
		return "", fmt.Errorf("%q: %w", letter, ErrNotListening)
	}
	return got, err
}

// An Identity is what i tells. What a board does not have is empty.
type Identity struct {
	DeviceID     string `json:"device_id"`
	SerialNumber string `json:"serial_number,omitempty"`
	IMEI         string `json:"imei,omitempty"`
	ICCID        string `json:"iccid,omitempty"`
	Radio        string `json:"cell_radio,omitempty"`

	// Secret is the device secret. It is for no log and no report.
	Secret string `json:"-"`
}

var oldIdentity = regexp.MustCompile(`(?i)your device id is ([0-9a-f]{24})`)

// Identify asks who the board is (i).
func Identify(ctx context.Context, c Console) (Identity, error) {
	got, err := ask(ctx, c, 'i')
	if err != nil {
		return Identity{}, err
	}
	return ParseIdentity(got)
}

// ParseIdentity reads the reply to i: one line of words up to Gen 2 over Wi-Fi,
// lines of "Key: value" since.
func ParseIdentity(reply string) (Identity, error) {
	if m := oldIdentity.FindStringSubmatch(reply); m != nil {
		return Identity{DeviceID: strings.ToLower(m[1])}, nil
	}
	var id Identity
	fields := map[string]*string{
		"device id": &id.DeviceID, "serial number": &id.SerialNumber, "imei": &id.IMEI, "iccid": &id.ICCID,
		"cell radio version": &id.Radio, "device secret": &id.Secret,
	}
	for line := range strings.Lines(reply) {
		key, value, ok := strings.Cut(line, ":")
		if field := fields[strings.ToLower(strings.TrimSpace(key))]; ok && field != nil {
			*field = strings.TrimSpace(value)
		}
	}
	id.DeviceID = strings.ToLower(id.DeviceID)
	if id.DeviceID == "" {
		return id, fmt.Errorf("i: no device id: %w", ErrFormat)
	}
	return id, nil
}

// Version asks for the Device OS release (v).
func Version(ctx context.Context, c Console) (string, error) {
	return field(ctx, c, 'v', "system firmware version:")
}

// MAC asks for the address of the network interface (m).
func MAC(ctx context.Context, c Console) (string, error) {
	return field(ctx, c, 'm', "MAC address is")
}

// Claimed asks whether the board belongs to somebody (c).
func Claimed(ctx context.Context, c Console) (bool, error) {
	v, err := field(ctx, c, 'c', "Device claimed:")
	return v == "yes", err
}

// field returns what stands behind a text, up to the end of its line.
func field(ctx context.Context, c Console, letter byte, text string) (string, error) {
	got, err := ask(ctx, c, letter)
	if err != nil {
		return "", err
	}
	_, rest, ok := strings.Cut(got, text)
	value, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	if value = strings.TrimSpace(value); !ok || value == "" {
		return "", fmt.Errorf("%q: %w", letter, ErrFormat)
	}
	return value, nil
}

// Modules asks what firmware is installed (s): {"p":13,"m":[…]}.
func Modules(ctx context.Context, c Console) (json.RawMessage, error) { return object(ctx, c, 's') }

// Diagnostics asks how the board is (d).
func Diagnostics(ctx context.Context, c Console) (json.RawMessage, error) { return object(ctx, c, 'd') }

// object returns the JSON object of a reply. A long one may pause.
func object(ctx context.Context, c Console, letter byte) (json.RawMessage, error) {
	ear := c.Hear()
	defer ear.Close()
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	if err := c.Write(ctx, []byte{letter}); err != nil {
		return nil, err
	}
	got := ""
	for {
		more, err := ear.Quiet(ctx, Quiet)
		got += more
		if at := strings.IndexByte(got, '{'); at >= 0 {
			var raw json.RawMessage
			if json.NewDecoder(strings.NewReader(got[at:])).Decode(&raw) == nil {
				return raw, nil
			}
		}
		switch {
		case err == nil && ctx.Err() == nil:
		case got == "" && ctx.Err() != nil:
			return nil, fmt.Errorf("%q: %w", letter, ErrNotListening)
		case err != nil && !errors.Is(err, serial.ErrQuiet):
			return nil, err
		default:
			return nil, fmt.Errorf("%q: no JSON object: %w", letter, ErrFormat)
		}
	}
}

// claimCode is the length of a claim code.
const claimCode = 63

// SetClaimCode gives the board a claim code (C). The code is in no error.
func SetClaimCode(ctx context.Context, c Console, code string) error {
	if len(code) != claimCode {
		return fmt.Errorf("a claim code has %d characters, this has %d", claimCode, len(code))
	}
	d, err := begin(ctx, c, 'C')
	if err != nil {
		return err
	}
	defer d.ear.Close()
	if _, err := d.until(ctx, Patience, "claim code:"); err != nil {
		return err
	}
	if err := c.Write(ctx, []byte(code+"\r")); err != nil {
		return err
	}
	which, err := d.until(ctx, Patience, "Claim code set to: "+code, "nvalid", "ust be")
	if err == nil && which > 0 {
		err = errors.New("the board refuses the claim code")
	}
	return err
}

// Credentials of a Wi-Fi network.
type Credentials struct {
	SSID     string
	Password string // empty for an open network
	// Security and Cipher are for networks that the board does not find: 0 open, 1
	// WEP, 2 WPA, 3 WPA2, 6 WPA3; 1 AES, 2 TKIP, 3 both.
	Security, Cipher int
}

// SetUpWiFi gives the board a network (w), after which it leaves listening mode.
// The password is in no error.
func SetUpWiFi(ctx context.Context, c Console, w Credentials) error {
	if w.SSID == "" || len(w.SSID) > 32 || strings.ContainsAny(w.SSID+w.Password, "\r\n") || len(w.Password) > 64 {
		return errors.New("a Wi-Fi network has a name of 1 to 32 bytes and a password of at most 64, on one line each")
	}
	d, err := begin(ctx, c, 'w')
	if err != nil {
		return err
	}
	defer d.ear.Close()
	answers := []struct{ prompt, answer string }{
		{"SSID:", w.SSID},
		{"Security 0", fmt.Sprint(w.Security)},
		{"Cipher 1", fmt.Sprint(max(w.Cipher, 1))},
		{"Password:", w.Password},
	}
	const last = "<3 you!"
	next := 0 // prompts come in this order, and some not at all
	for wait := Patience; ; wait = WiFiPatience {
		var prompts []string
		for _, a := range answers[next:] {
			prompts = append(prompts, a.prompt)
		}
		which, err := d.until(ctx, wait, append(prompts, last, "nvalid")...)
		switch {
		case err != nil:
			return err
		case which == len(prompts):
			return nil
		case which > len(prompts):
			return errors.New("the board refuses an answer")
		}
		next += which
		if answers[next].prompt == "Security 0" {
			// The rest of the prompt names the numbers, "Cipher" follows another.
			if _, err := d.until(ctx, Patience, ": "); err != nil {
				return err
			}
		}
		if err := c.Write(ctx, []byte(answers[next].answer+"\r")); err != nil {
			return err
		}
		next++
	}
}

// Leave ends listening mode (x).
func Leave(ctx context.Context, c Console) error { return c.Write(ctx, []byte{'x'}) }

// SafeMode restarts the board into safe mode (L).
func SafeMode(ctx context.Context, c Console) error { return c.Write(ctx, []byte{'L'}) }

// A dialogue is a question that goes on.
type dialogue struct {
	ear    *serial.Ear
	letter byte
}

func begin(ctx context.Context, c Console, letter byte) (*dialogue, error) {
	d := &dialogue{c.Hear(), letter}
	if err := c.Write(ctx, []byte{letter}); err != nil {
		d.ear.Close()
		return nil, err
	}
	return d, nil
}

// until waits for one of the texts. What came instead is in no error: it may
// echo a secret.
func (d *dialogue) until(ctx context.Context, wait time.Duration, texts ...string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	which, got, err := d.ear.Until(ctx, texts...)
	switch {
	case err == nil:
		return which, nil
	case ctx.Err() != nil && got == "":
		return which, fmt.Errorf("%q: %w", d.letter, ErrNotListening)
	case ctx.Err() != nil:
		return which, fmt.Errorf("%q: the board does not ask for %q: %w", d.letter, texts[0], ErrFormat)
	}
	return which, err
}
