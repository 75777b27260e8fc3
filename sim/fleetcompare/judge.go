package fleetcompare

import "math"

// A Verdict is what can be said of a difference.
type Verdict string

// The verdicts.
const (
	Same    Verdict = "same"    // the difference is too small to matter
	Noise   Verdict = "noise"   // it would matter, but may be chance
	Few     Verdict = "too few" // there is not enough of it to say
	Changed Verdict = "changed" // it differs, and nobody can say whether that is good
	Better  Verdict = "better"
	Worse   Verdict = "worse"
	// Spoilt: it differs, but in one of the runs the generator was the bottleneck.
	Spoilt Verdict = "spoilt"
)

const (
	// deviations is how many standard errors a difference must have: with ten pieces
	// chance alone gets there once in some three hundred comparisons.
	deviations = 4
	pairsLeast = 5 // of pieces that both runs have
)

// judge says what can be said of a difference between a and b, given the same number
// for the pieces of both (NaN where a piece has none). tolerance is the share of a that
// does not matter.
func judge(a, b float64, pa, pb []float64, better int, tolerance float64) Verdict {
	if math.IsNaN(a) || math.IsNaN(b) {
		return Few
	}
	if math.Abs(b-a) <= tolerance*math.Abs(a) {
		return Same
	}
	var d []float64
	for i := range pa {
		if x := pb[i] - pa[i]; !math.IsNaN(x) {
			d = append(d, x)
		}
	}
	if len(d) < pairsLeast {
		return Few
	}
	mean, spread := 0.0, 0.0
	for _, x := range d {
		mean += x / float64(len(d))
	}
	for _, x := range d {
		spread += (x - mean) * (x - mean) / float64(len(d)-1)
	}
	// The pieces must agree with the whole about the direction.
	if math.Abs(mean) < deviations*math.Sqrt(spread/float64(len(d))) || mean*(b-a) <= 0 {
		return Noise
	}
	switch sign := float64(better) * (b - a); {
	case sign > 0:
		return Better
	case sign < 0:
		return Worse
	}
	return Changed
}
