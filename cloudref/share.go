package cloudref

import (
	"crypto/sha256"
	"sync"
	"weak"

	"github.com/muster/muster/cloudref/app"
)

// share keeps one copy of what many devices have alike, as long as one of them
// has it: it holds weak pointers, under hashes of what they point to.
type share struct {
	mu      sync.Mutex
	values  map[[sha256.Size]byte]func() any // nil: nobody has it any more
	sweepAt int
}

// shareSweepMin is the number of values below which nobody looks for dead ones.
const shareSweepMin = 1024

func newShare() func(string, func() any) any {
	s := &share{values: make(map[[sha256.Size]byte]func() any), sweepAt: shareSweepMin}
	return s.get
}

func (s *share) get(key string, make func() any) any {
	hash := sha256.Sum256([]byte(key))
	s.mu.Lock()
	defer s.mu.Unlock()
	if value, known := s.values[hash]; known {
		if v := value(); v != nil {
			return v
		}
	}
	value := make()
	switch v := value.(type) {
	case *app.Describe:
		s.values[hash] = weakly(v)
	case *app.Subscriptions:
		s.values[hash] = weakly(v)
	default:
		s.values[hash] = func() any { return v }
	}
	if len(s.values) > s.sweepAt {
		s.sweep()
	}
	return value
}

func weakly[T any](v *T) func() any {
	w := weak.Make(v)
	return func() any {
		if v := w.Value(); v != nil {
			return v
		}
		return nil
	}
}

func (s *share) sweep() {
	for hash, value := range s.values {
		if value() == nil {
			delete(s.values, hash)
		}
	}
	s.sweepAt = max(shareSweepMin, 2*len(s.values))
}
