package config

import "strings"

// nearest finds the known key that was probably meant, or none. serialNo and
// serial-no are serial_no at once; otherwise a third of the letters may differ.
func nearest(key string, fields map[string]int) string {
	const maxLen = 40 // bounds the table below; longer texts are no typing errors
	if len(key) > maxLen {
		return ""
	}
	best, bestDistance := "", len(key)
	key = plain(key)
	for name := range fields {
		d := distance(key, plain(name))
		if d > max(1, len(name)/3) || d > bestDistance || (d == bestDistance && name > best) {
			continue
		}
		best, bestDistance = name, d
	}
	return best
}

func plain(s string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s))
}

// distance is Levenshtein's: the least number of letters to insert, delete or
// replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
