//go:build !unix

package lease

import (
	"errors"
	"os"
)

var errInherited = errors.New("inherited")

// lockToInherit does nothing: files are locked by processes here.
func lockToInherit(string) (*os.File, error) { return nil, nil } //nolint:nilnil // there is none
