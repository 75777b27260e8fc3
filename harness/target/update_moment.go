package target

import (
	"fmt"
	"strconv"
	"strings"
)

// An UpdateMoment is how far an update is when something is done to the device: the
// zero value is behind chunk 17, or half of an image that has fewer than twice as many.
type UpdateMoment struct {
	chunk   int // counted from 1; 0: it is a percentage
	percent int // 1 to 99; 0: it is a chunk
}

// usualChunk is that of the zero UpdateMoment.
const usualChunk = 17

// ParseUpdateMoment reads "chunk:40", when that chunk is acknowledged, or "75%", when
// that much of the image is.
func ParseUpdateMoment(text string) (UpdateMoment, error) {
	if n, ok := strings.CutPrefix(text, "chunk:"); ok {
		if chunk, err := strconv.Atoi(n); err == nil && chunk > 0 {
			return UpdateMoment{chunk: chunk}, nil
		}
	}
	if n, ok := strings.CutSuffix(text, "%"); ok {
		if percent, err := strconv.Atoi(n); err == nil && percent > 0 && percent < 100 {
			return UpdateMoment{percent: percent}, nil
		}
	}
	return UpdateMoment{}, fmt.Errorf("%q is no moment of an update: want chunk:N, such as chunk:17, or N%%, from 1%% to 99%%", text)
}

// In returns the moment in an update with an image of size bytes in chunks of chunk
// bytes. The error says that the image is too small to have it, and be cut off there.
func (u UpdateMoment) In(size, chunk int) (Moment, error) {
	count := (size + chunk - 1) / chunk
	switch {
	case u.percent > 0:
		return AfterChunk(max(1, count*u.percent/100)), nil
	case u.chunk == 0:
		return AfterChunk(max(1, min(usualChunk, size/chunk/2))), nil
	case u.chunk >= count:
		return Moment{}, fmt.Errorf("an update cannot be cut off behind chunk %d: the image has %d bytes, which are %d chunks of %d", u.chunk, size, count, chunk)
	}
	return AfterChunk(u.chunk), nil
}

// readMoments takes the moments of the spec.
func (e *Env) readMoments() error {
	d := e.options.Spec.Device
	if d == nil {
		return nil
	}
	for _, text := range d.CutAt {
		u, err := ParseUpdateMoment(text)
		if err != nil {
			return err
		}
		e.cutAt = append(e.cutAt, u)
	}
	return nil
}

// UpdateMoments are those at which updates are cut off, each in an update of its own.
func (e *Env) UpdateMoments() []UpdateMoment {
	if len(e.cutAt) == 0 {
		return []UpdateMoment{{}}
	}
	return e.cutAt
}
