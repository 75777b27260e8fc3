package serial

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// secret is what stands before a secret in listening mode: i prints the device
// secret, C prints the claim code back, and what is typed for w is echoed.
var secret = regexp.MustCompile(`(?i)device secret|claim code|password`)

// longestLabel is the length in bytes of the longest match of secret.
const longestLabel = len("device secret")

const redacted = ": [redacted]"

// A redactor makes text of the pieces of lines. It hides everything from a
// secret's label to the end of the line, also over pieces.
type redactor struct {
	off    bool
	hiding bool   // the label was in an earlier piece of this line
	tail   []byte // end of the previous piece: the label may lie on the cut
}

// text returns a piece as text; more says that the line goes on.
func (r *redactor) text(piece []byte, more bool) string {
	if r.off {
		return visible(piece)
	}
	defer func() {
		if !more {
			r.hiding, r.tail = false, r.tail[:0]
		}
	}()
	if r.hiding {
		return strings.TrimPrefix(redacted, ": ")
	}
	joined := append(r.tail, piece...)
	if at := secret.FindIndex(joined); at != nil {
		r.hiding = true
		return visible(piece[:at[1]-len(r.tail)]) + redacted
	}
	r.tail = append([]byte(nil), joined[max(0, len(joined)-longestLabel+1):]...)
	return visible(piece)
}

// visible returns b as text that a terminal prints as it is: bytes that are not
// UTF-8, control characters and invisible runes are escaped.
func visible(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1, r < ' ' && r != '\t', r == 0x7f:
			fmt.Fprintf(&s, `\x%02x`, b[0])
		case r == '\t', unicode.IsPrint(r):
			s.WriteRune(r)
		default:
			fmt.Fprintf(&s, `\u{%x}`, r)
		}
		b = b[n:]
	}
	return s.String()
}

// wholeRunes returns the length of b without a rune that is cut at its end. It
// is never 0 unless b is empty.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i > 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}
