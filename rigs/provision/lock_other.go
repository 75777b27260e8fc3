//go:build !unix

package provision

import (
	"fmt"
	"os"
)

// tryLock opens the file only: here two processes must not be told to provision
// one board at once.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the journal: %w", err)
	}
	return f, nil
}
