package inventory

// Ports returns what is plugged in.
func Ports() ([]Port, error) { return System.Ports() }
