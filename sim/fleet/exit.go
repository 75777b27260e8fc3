package fleet

import "fmt"

// An ExitError carries the exit code of a command about fleets. Everything there is
// to say has been said.
type ExitError struct{ Code int }

// Error implements error.
func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

// ExitCode returns the exit code, 1 to 255.
func (e *ExitError) ExitCode() int { return e.Code }

// A UsageError says that a command was called wrongly: nothing ran.
type UsageError struct{ Err error }

// Error returns what is wrong.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *UsageError) Unwrap() error { return e.Err }

// Usage marks the error as one of usage.
func (e *UsageError) Usage() {}
