// Package record holds what a run of a fleet measured, in a form that adds up: what
// two seconds, two groups or two machines counted is the sum, and their
// histograms merge without loss.
//
// A [Sample] is what happened to one group in one interval. It is added to the
// [Cell] of its phase and group, and everything that a person sees of a run (live
// view, metrics, reports, comparisons) is made from samples, cells and the [Run]
// that holds them. On disk a run is a folder: run.json, and samples.jsonl with a
// line for each sample.
//
// What this package is not: the clock that makes intervals, the scenario that
// makes phases, or the judge of thresholds.
package record
