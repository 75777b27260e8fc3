// Package fleetcompare puts two runs of a fleet beside each other and says what
// changed, with care about what is noise.
//
// A run is cut into pieces: ten of each phase. What differs between two runs is
// told from noise by how much the differences of their pieces differ among
// themselves: a change is told only when it is large enough to matter, and at least
// four times its own standard error. Pieces are compared in pairs, the third of a
// storm with the third of the other storm, so that what every storm does over its
// time is no noise.
//
// That is noise within a run. What differs from one run to the next on the same
// machine (a neighbour, a cold cache, where processes landed) is not in it: only runs
// that are repeated show that, and the words that go with a comparison say so.
package fleetcompare
