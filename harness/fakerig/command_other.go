//go:build !linux

package fakerig

import (
	"errors"

	"github.com/spf13/cobra"
)

// Command returns "muster rig fake".
func Command() *cobra.Command {
	return &cobra.Command{
		Use:   "fake",
		Short: "Plugs in fake boards, to try everything without hardware (Linux)",
		RunE: func(*cobra.Command, []string) error {
			return errors.New("fake boards need the pseudo-terminals of Linux")
		},
	}
}
