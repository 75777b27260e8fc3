// Package requirements is the catalogue: what a Device Cloud and its devices
// must do, one row each, as data.
//
// The rows are in files that are built into the program: claims.yaml holds the
// promises of the service; transport.yaml and application.yaml what follows from
// them for the wire, bench.yaml for what happens to a device on a bench, and api.yaml
// what clients see. [Load] reads them and is strict: an unknown field, an unknown
// word, an id that occurs twice or a parent that does not exist is an error.
//
// What this package is not: a judge. Checks cite ids; package conformance knows
// which.
package requirements
