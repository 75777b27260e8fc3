package scenario

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A unit is what a number in a scenario file is: how it is written, and what it is
// in this program.
type unit struct {
	parse   func(text string) (float64, bool)
	allowed string // how it is written, for people
	pattern string // the same for machines
	show    func(float64) string
}

// units are those that the tags of fields name.
var units = map[string]unit{
	"": {
		parse: number, allowed: "a number", pattern: `^-?[0-9]+(\.[0-9]+)?$`,
		show: func(v float64) string { return fmt.Sprintf("%.4g", v) },
	},
	"number": {
		parse: number, allowed: "a number", pattern: `^-?[0-9]+(\.[0-9]+)?$`,
		show: func(v float64) string { return fmt.Sprintf("%.4g", v) },
	},
	"duration": {
		parse: duration, allowed: "a duration such as 250ms, 30s, 23m or 1h30m",
		pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`,
		show:    showSeconds,
	},
	"rate": {
		parse: rate, allowed: "a rate such as 20/s, 90/min or 500/h", pattern: `^[0-9]+(\.[0-9]+)?/(s|min|h)$`,
		show: func(v float64) string { return fmt.Sprintf("%.4g/s", v) },
	},
	"share": {
		parse: share, allowed: "a share such as 5% or 0.05", pattern: `^[0-9]+(\.[0-9]+)?%?$`,
		show: func(v float64) string { return fmt.Sprintf("%.4g%%", 100*v) },
	},
	"bytes": {
		parse: size, allowed: "a size such as 40, 16KiB or 1MiB", pattern: `^[0-9]+(\.[0-9]+)?(B|KiB|MiB|kB|MB)?$`,
		show: func(v float64) string { return fmt.Sprintf("%.0f bytes", v) },
	},
}

func showSeconds(v float64) string {
	d := time.Duration(v * float64(time.Second))
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

func number(text string) (float64, bool) {
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && !math.IsInf(v, 0) && !math.IsNaN(v)
}

// duration reads a duration, in seconds.
func duration(text string) (float64, bool) {
	d, err := time.ParseDuration(text)
	return d.Seconds(), err == nil && d >= 0
}

// rate reads a rate, per second. A number alone is one per second.
func rate(text string) (float64, bool) {
	num, per, found := strings.Cut(text, "/")
	v, ok := number(strings.TrimSpace(num))
	if !found {
		return v, ok && v >= 0
	}
	seconds, known := map[string]float64{"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600}[strings.TrimSpace(per)]
	return v / seconds, ok && known && v >= 0
}

// share reads a share, of 1.
func share(text string) (float64, bool) {
	num, percent := strings.CutSuffix(text, "%")
	v, ok := number(strings.TrimSpace(num))
	if percent {
		v /= 100
	}
	return v, ok && v >= 0
}

// sizes are the units of sizes, the longer names first.
var sizes = []struct {
	name string
	n    float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"B", 1}}

// size reads a size, in bytes.
func size(text string) (float64, bool) {
	factor := 1.0
	for _, u := range sizes {
		if num, found := strings.CutSuffix(text, u.name); found {
			text, factor = strings.TrimSpace(num), u.n
			break
		}
	}
	v, ok := number(text)
	return v * factor, ok && v >= 0
}
