package module

import (
	"fmt"

	"github.com/muster/muster/protocol/pdc"
)

// An Error reports an image that is malformed, damaged, or not for this device.
// Whoever made or chose the image is at fault.
type Error struct {
	// Code is what a device answers: -1300 to -1370, or -190.
	Code pdc.SystemError
	// Reason says what is wrong.
	Reason string
}

// Error returns the reason and the number.
func (e *Error) Error() string { return fmt.Sprintf("module: %s: %s", e.Code.String(), e.Reason) }

// Unwrap returns the code, so that errors.Is finds it.
func (e *Error) Unwrap() error { return e.Code }

func fault(code pdc.SystemError, format string, args ...any) *Error {
	return &Error{Code: code, Reason: fmt.Sprintf(format, args...)}
}
