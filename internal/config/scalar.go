package config

// sizeUnits are the units of a Size, the largest first.
var sizeUnits = []struct {
	name   string
	bytes  int64
	binary bool
}{
	{"GiB", 1 << 30, true}, {"GB", 1e9, false},
	{"MiB", 1 << 20, true}, {"MB", 1e6, false},
	{"KiB", 1 << 10, true}, {"KB", 1e3, false},
	{"B", 1, false},
}
