// Package scenario reads scenario files: what a fleet is, how it behaves, in which
// phases, and what must come out.
//
// A file is YAML ([Read]); an error names line, column, field and what is allowed.
// All fields are described by the tags of the types in this package, from which
// [Schema] makes a JSON schema. [Scenario.Check] finds what makes no sense together.
// [Judge] holds what a run measured against the thresholds.
//
// What this package is not: the load itself (package workload), or what carries it
// out (package loadtest).
package scenario
