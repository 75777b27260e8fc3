package show

import (
	"math"
	"testing"
	"time"
)

func TestShow(t *testing.T) {
	for _, c := range [][2]string{
		{Number(0), "0"},
		{Number(-1234567), "-1,234,567"},
		{Number(uint64(999)), "999"},
		{Count(1, "device"), "1 device"},
		{Count(1000, "device"), "1,000 devices"},
		{Short(0), "0"},
		{Short(0.01234), "0.012"},
		{Short(12.345), "12.3"},
		{Short(9876), "9,876"},
		{Short(12345), "12.3 k"},
		{Short(999600), "1 M"},
		{Short(45.6e6), "45.6 M"},
		{Rate(0.5), "0.5/s"},
		{Rate(7036.4), "7,036/s"},
		{Bytes(142), "142 B"},
		{Bytes(5100), "5.1 kB"},
		{Bytes(2.5e9), "2.5 GB"},
		{Memory(24 << 30), "24 GiB"},
		{Memory(1536), "1.5 KiB"},
		{Memory(7), "7 B"},
		{Duration(0), "0"},
		{Duration(850 * time.Microsecond), "850 µs"},
		{Duration(12345 * time.Microsecond), "12.3 ms"},
		{Duration(4560 * time.Millisecond), "4.56 s"},
		{Duration(125 * time.Second), "2 m 05 s"},
		{Duration(3*time.Hour + 7*time.Minute), "3 h 07 m"},
		{Duration(999600 * time.Microsecond), "1 s"},
		{Duration(-3 * time.Millisecond), "-3 ms"},
		{Seconds(0.1), "100 ms"},
		{Seconds(math.NaN()), "–"},
		{Short(math.Inf(1)), "–"},
		{Percent(0.125), "12.5 %"},
		{Clock(5 * time.Second), "0:05"},
		{Clock(3723 * time.Second), "1:02:03"},
	} {
		if c[0] != c[1] {
			t.Errorf("got %q, want %q", c[0], c[1])
		}
	}
}

func TestInUnit(t *testing.T) {
	for _, c := range []struct {
		v          float64
		unit, want string
	}{{0.5, "s", Seconds(0.5)}, {8, "/s", Rate(8)}, {142, "B", Bytes(142)}, {3, "", Short(3)}, {99.5, "%", Short(99.5) + " %"}} {
		if got := InUnit(c.v, c.unit); got != c.want {
			t.Errorf("%v in %q: %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}
