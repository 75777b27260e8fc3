// Package show writes numbers as people read them: three digits that matter, and a
// unit that keeps them short.
package show

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Number writes a count in full, with groups of three digits: 1,234,567.
func Number[N int | int64 | uint64](n N) string {
	text := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// Short writes a number with three digits: 0.0123, 12.3, 1.23 k, 45.6 M.
func Short(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "–"
	}
	for _, unit := range []struct {
		size float64
		name string
	}{{1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e4, " k"}} {
		if math.Abs(x) >= unit.size*0.9995 {
			if unit.size == 1e4 {
				return digits(x/1e3) + unit.name
			}
			return digits(x/unit.size) + unit.name
		}
	}
	if x == math.Trunc(x) {
		return Number(int64(x))
	}
	return digits(x)
}

// digits writes three digits that matter, and no zeros at the end of a fraction.
func digits(x float64) string {
	a := math.Abs(x)
	places := 0
	switch {
	case a == 0:
		return "0"
	case a < 0.001:
		return strconv.FormatFloat(x, 'g', 2, 64)
	case a < 0.0995:
		places = 3
	case a < 9.995:
		places = 2
	case a < 99.95:
		places = 1
	}
	if a >= 999.5 {
		return Number(int64(math.Round(x)))
	}
	text := strconv.FormatFloat(x, 'f', places, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// Rate writes a number a second.
func Rate(x float64) string { return Short(x) + "/s" }

// Bytes writes a size in decimal units, as networks count: 142 B, 5.1 kB.
func Bytes(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "–"
	}
	for _, unit := range []struct {
		size float64
		name string
	}{{1e12, " TB"}, {1e9, " GB"}, {1e6, " MB"}, {1e3, " kB"}} {
		if math.Abs(x) >= unit.size*0.9995 {
			return digits(x/unit.size) + unit.name
		}
	}
	return digits(math.Round(x*10)/10) + " B"
}

// Memory writes a size in binary units, as machines count: 1.2 GiB.
func Memory(n uint64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1 << 40, " TiB"}, {1 << 30, " GiB"}, {1 << 20, " MiB"}, {1 << 10, " KiB"}} {
		if float64(n) >= unit.size {
			return digits(float64(n)/unit.size) + unit.name
		}
	}
	return fmt.Sprint(n) + " B"
}

// Duration writes a duration: 850 µs, 12.3 ms, 4.56 s, 2 m 05 s, 3 h 07 m.
func Duration(d time.Duration) string {
	a := d.Abs()
	switch {
	case d == 0:
		return "0"
	case a < time.Microsecond:
		return fmt.Sprint(int64(d), " ns")
	case a < 999500*time.Nanosecond:
		return digits(float64(d)/1e3) + " µs"
	case a < 999500*time.Microsecond:
		return digits(float64(d)/1e6) + " ms"
	case a < 100*time.Second:
		return digits(d.Seconds()) + " s"
	case a < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%d m %02d s", d/time.Minute, d.Abs()%time.Minute/time.Second)
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%d h %02d m", d/time.Hour, d.Abs()%time.Hour/time.Minute)
}

// Seconds is Duration of a number of seconds.
func Seconds(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) || math.Abs(x) > 1e9 {
		return "–"
	}
	return Duration(time.Duration(math.Round(x * 1e9)))
}

// Percent writes a share, 0 to 1.
func Percent(share float64) string { return digits(100*share) + " %" }

// Clock writes an offset in a run: 0:05, 12:34, 1:02:03.
func Clock(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, s := d/time.Hour, d%time.Hour/time.Minute, d%time.Minute/time.Second
	if h > 0 {
		return fmt.Sprintf("%d:%02d:%02d", h, m, s)
	}
	return fmt.Sprintf("%d:%02d", m, s)
}

// Count writes a number of things: 1 device, 2,000 devices.
func Count[N int | int64 | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Number(n) + " " + thing + "s"
}

// InUnit writes a value of a threshold with its unit: "s", "/s", "B", "%", or none.
func InUnit(v float64, unit string) string {
	switch unit {
	case "s":
		return Seconds(v)
	case "/s":
		return Rate(v)
	case "B":
		return Bytes(v)
	case "":
		return Short(v)
	}
	return Short(v) + " " + unit
}
