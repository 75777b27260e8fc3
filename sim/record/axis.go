package record

import "time"

// An Axis numbers the intervals of a run from 0. Intervals of real runs end a little
// late, begin where the one before ended, and under load one takes the time of several.
type Axis struct{ Every time.Duration }

// NewAxis returns the axis of a run whose intervals are planned to have a length; when
// it is not known, that of the first sample is a guess.
func NewAxis(planned, first time.Duration) Axis {
	const step = 100 * time.Millisecond
	switch {
	case planned > 0:
		return Axis{planned}
	case first > step:
		return Axis{first.Round(step)}
	}
	return Axis{max(first, time.Millisecond)}
}

// Place returns the number of the interval that a sample is of, and how many intervals
// it covers, 1 or more: those whose middle it has, so that samples that follow one
// another leave none out.
func (a Axis) Place(s *Sample) (first, n int64) {
	begin := max(0, s.At-s.Every)
	first = int64((begin + a.Every/2) / a.Every)
	if end := int64((s.At + a.Every/2) / a.Every); end > first {
		return first, end - first
	}
	return int64((begin + (s.At-begin)/2) / a.Every), 1 // a part of one
}
