package requirements

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// A version is a release of Device OS. An x in the text stands for the highest
// number.
type version [3]int

const highest = 1 << 30

// parseVersion reads "3.0.1" and "3.0.x". What follows a hyphen, as in
// "0.8.0-rc.25", is not compared.
func parseVersion(s string) (version, error) {
	var v version
	number, _, _ := strings.Cut(s, "-")
	parts := strings.Split(number, ".")
	if len(parts) != len(v) {
		return v, fmt.Errorf("%q is no release of Device OS: want three numbers, such as 3.1.0", s)
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if p == "x" {
			n, err = highest, nil
		}
		if err != nil || n < 0 {
			return v, fmt.Errorf("%q is no release of Device OS: want three numbers, such as 3.1.0", s)
		}
		v[i] = n
	}
	return v, nil
}

func (v version) compare(other version) int {
	return cmp.Or(cmp.Compare(v[0], other[0]), cmp.Compare(v[1], other[1]), cmp.Compare(v[2], other[2]))
}
