// Package fleetlines writes a run of a fleet as JSON, one object a line, while it goes
// on, for programs that watch.
package fleetlines
