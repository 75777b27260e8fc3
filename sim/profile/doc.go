// Package profile describes what can be simulated: boards, Device OS releases,
// and what a board running a release does differently from the others.
//
// Everything is a table. [Boards] and [Versions] are the two axes, [Features]
// the differences; a [Profile] is one valid combination, named "boron@6.2.0".
// Each fact carries its source: "PDC-4.1" is section 4.1 of the application
// protocol reference, "TRN-3.5" section 3.5 of the transport reference,
// "captures" the recorded traffic. A fact that no source tells and that the
// simulator had to choose says "simulator's choice".
//
// What this package is not: behavior. Package device is what a device does;
// this package is what it looks up.
package profile
