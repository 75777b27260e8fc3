package workload

import "math"

// A Dice is a short stream of random numbers with nothing to remember: it is made
// from what it is for, anywhere and at any time, and yields the same numbers.
// They are good enough for a load and not for secrets.
type Dice struct{ state uint64 }

// The constants of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom
// Number Generators, 2014).
const (
	gamma = 0x9e3779b97f4a7c15
	mixA  = 0xbf58476d1ce4e5b9
	mixB  = 0x94d049bb133111eb
)

// The constants of FNV-1a with 64 bits.
const (
	fnvBasis = 0xcbf29ce484222325
	fnvPrime = 0x100000001b3
)

// A Source is where the dice of one stream come from.
type Source uint64

// From returns the source of a named stream of a run.
func From(seed uint64, name string) Source {
	h := uint64(fnvBasis)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * fnvPrime
	}
	return Source(mix(seed ^ mix(h)))
}

// Roll returns the dice for draw n of a device.
func (s Source) Roll(device, n uint64) Dice {
	return Dice{mix(mix(uint64(s)+device*gamma) + n*gamma)}
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * mixA
	z = (z ^ z>>27) * mixB
	return z ^ z>>31
}

// Uint64 returns 64 random bits.
func (d *Dice) Uint64() uint64 {
	d.state += gamma
	return mix(d.state)
}

// Float returns a number from 0 to below 1.
func (d *Dice) Float() float64 { return float64(d.Uint64()>>11) / (1 << 53) }

// Exp returns an exponentially distributed number with mean 1.
func (d *Dice) Exp() float64 { return -math.Log1p(-d.Float()) }

// Normal returns a normally distributed number with mean 0 and deviation 1 (Box and
// Muller, 1958).
func (d *Dice) Normal() float64 {
	radius := math.Sqrt(2 * d.Exp())
	return radius * math.Cos(2*math.Pi*d.Float())
}
