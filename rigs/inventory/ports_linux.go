package inventory

// Ports returns what is plugged in.
func Ports() ([]Port, error) { return FromSysfs("/sys") }

// Follow begins to follow what is plugged in.
func Follow() *Bus { return System.Follow() }
