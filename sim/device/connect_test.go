package device

import (
	"strings"
	"testing"
)

// The connect sequences of PDC-1.1 (D-19).
func TestConnectSequence(t *testing.T) {
	for _, c := range []struct{ profile, want string }{
		{"boron@6.2.0", ""},
		{"photon@3.1.0", ""},
		{"electron@0.5.3", ""},
	} {
		t.Run(c.profile, func(t *testing.T) {
			w := newWorld(t, c.profile).online()
			t.Log(strings.Join(w.kinds(), ", "))
			t.Log(w.eventKinds())
		})
	}
}
