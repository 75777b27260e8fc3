//go:build !unix

package fleet

import "math"

// descriptorsMax returns how many sockets this process may have open: nobody
// counts them here.
func descriptorsMax() int { return math.MaxInt }
