package clock

import (
	"math"
	"testing"
	"time"
)

func TestAddSaturatesAtNever(t *testing.T) {
	for _, test := range []struct {
		name string
		at   Instant
		d    time.Duration
		want Instant
	}{
		{"ordinary", 5, 7, 12},
		{"backwards", 5, -7, -2},
		{"never stays", Never, -time.Hour, Never},
		{"overflow", Never - 1, 2, Never},
		{"largest duration", 1, math.MaxInt64, Never},
		{"exactly never", 0, math.MaxInt64, Never},
	} {
		if got := test.at.Add(test.d); got != test.want {
			t.Errorf("%s: %d.Add(%d) = %d, want %d", test.name, test.at, test.d, got, test.want)
		}
	}
}

func TestString(t *testing.T) {
	if got := Instant(1500 * time.Millisecond).String(); got != "1.5s" {
		t.Errorf("got %q, want 1.5s", got)
	}
	if got := Never.String(); got != "never" {
		t.Errorf("got %q, want never", got)
	}
}
