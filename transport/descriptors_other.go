//go:build !unix

package transport

import "math"

// DescriptorsMax returns how many files and sockets this process may have open: nobody
// counts them here.
func DescriptorsMax() int { return math.MaxInt }
