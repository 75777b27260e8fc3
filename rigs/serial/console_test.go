package serial

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func options() Options { return Options{Now: func() time.Time { return noon }} }

// A script is a port that gives its pieces, one a read, and is then unplugged.
type script struct {
	pieces []string
	closed int
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(b, s.pieces[0])
	s.pieces = s.pieces[1:]
	return n, nil
}

func (s *script) Close() error { s.closed++; return nil }

// all returns what a console prints, pieces of a split line ended by "…".
func all(t *testing.T, o Options, pieces ...string) []string {
	t.Helper()
	c := newConsole("port", &script{pieces: pieces}, o)
	var lines []string
	for {
		l, err := c.Next()
		if err != nil {
			if !errors.Is(err, ErrGone) || !strings.HasPrefix(err.Error(), "port: ") {
				t.Errorf("ended with %v", err)
			}
			return lines
		}
		if l.More {
			l.Text += "…"
		}
		lines = append(lines, l.Text)
	}
}

func TestLines(t *testing.T) {
	short, open := options(), options()
	short.MaxLine, open.ShowSecrets = 8, true
	for _, test := range []struct {
		name   string
		o      Options
		pieces []string
		want   string
	}{
		{"in pieces, with quiet turns", options(), []string{"on", "", "e\r", "\ntwo\n\n", "three"}, "one|two||three"},
		{"version reply", options(), []string{"system firmware version: 6.2.0\n\r\n"}, "system firmware version: 6.2.0|"},
		{"split", short, []string{"0123456789abcdefXY\n01234567\n"}, "01234567…|89abcdef…|XY|01234567"},
		{"no rune is cut", short, []string{"012345é7\nabcdefgéh\n"}, "012345é…|7|abcdefg…|éh"},
		{"not a terminal's", options(), []string{"\x1b[2J\xff\x00\tü\u202e\n"}, `\x1b[2J\xff\x00` + "\tü" + `\u{202e}`},
		{"secret", options(), []string{"Device ID: 1\r\nDevice Sec", "ret: ABCDEF\r\nIMEI: 2\r\n"}, "Device ID: 1|Device Secret: [redacted]|IMEI: 2"},
		{"claim code", options(), []string{"Enter 63-digit claim code: abcdef\r\nok\n"}, "Enter 63-digit claim code: [redacted]|ok"},
		{"secret over cuts", short, []string{"xxDevice Secret: ABCDEFGHIJKLM\nnext\n"}, "xxDevice… Secret: [redacted]…|[redacted]…|[redacted]|next"},
		{"secret in an unfinished line", options(), []string{"Device Secret: ABC"}, "Device Secret: [redacted]"},
		{"secret wanted", open, []string{"Device Secret: ABC\n"}, "Device Secret: ABC"},
	} {
		got := strings.Join(all(t, test.o, test.pieces...), "|")
		if strings.ReplaceAll(got, "…|", "…") != strings.ReplaceAll(test.want, "…|", "…") {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestTimeIsOfTheFirstByte(t *testing.T) {
	now := noon
	o := Options{Now: func() time.Time { now = now.Add(time.Second); return now }}
	c := newConsole("port", &script{pieces: []string{"a", "b\nc", "d\n"}}, o)
	for _, want := range []int{1, 2} {
		l, err := c.Next()
		if err != nil || !l.Time.Equal(noon.Add(time.Duration(want)*time.Second)) {
			t.Errorf("%+v, %v: want second %d", l, err, want)
		}
	}
}

func TestCloseTwice(t *testing.T) {
	s := &script{}
	c := newConsole("port", s, options())
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Next(); !errors.Is(err, ErrClosed) || s.closed != 1 {
		t.Errorf("%v; closed %d times", err, s.closed)
	}
}

// FuzzText holds that no byte of a secret gets out, wherever the line is cut.
func FuzzText(f *testing.F) {
	f.Add("boot", "QQQQQQQQ", 8, 3)
	f.Fuzz(func(t *testing.T, before, key string, limit, cut int) {
		if len(key) < 4 || strings.Contains(before+": [redacted]Device Secret", key) || strings.ContainsAny(before+key, "\n") {
			return
		}
		text := before + "Device Secret: " + key + "\n"
		cut = min(max(cut, 0), len(text))
		o := options()
		o.MaxLine = min(max(limit, 1), 64)
		got := strings.ReplaceAll(strings.Join(all(t, o, text[:cut], text[cut:]), ""), "…", "")
		if at := strings.Index(got, "Secret"); at >= 0 && strings.Contains(got[at:], key) {
			t.Errorf("%q gives the secret away", got)
		}
	})
}
