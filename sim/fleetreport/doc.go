// Package fleetreport draws what a run of a fleet measured: one HTML file that needs
// no other file and no network.
//
// [Read] reads a run's folder one sample at a time into a [Report]: its memory grows
// with the charts and not with the run, and what charts show of a long run keeps its
// maxima and its exact percentiles. [Report.WriteHTML] draws it.
package fleetreport
