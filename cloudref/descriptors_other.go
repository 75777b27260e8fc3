//go:build !unix

package cloudref

import "math"

// descriptorsMax returns how many files and sockets this process may have open: nobody
// counts them here.
func descriptorsMax() int { return math.MaxInt }
