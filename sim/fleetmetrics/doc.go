// Package fleetmetrics tells Prometheus of a run of a fleet while it goes on.
//
// An [Exporter] is a sink of the run's samples. Everything it has comes from
// them: counters by group, what devices are doing, errors by reason, bytes by
// activity, distributions of durations, and how loaded the generator is. No label
// names a device.
package fleetmetrics
