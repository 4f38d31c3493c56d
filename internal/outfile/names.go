package outfile

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// placeholder matches what names of output files may contain.
var placeholder = regexp.MustCompile(`\{(date|time|seq)\}`)

// Expand replaces {date}, {time} and {seq} in the names of output files. {seq} is the first number from 1 on that gives
// new files only.
func Expand(names []string, at time.Time, zone *time.Location) {
	if zone == nil {
		zone = time.UTC
	}
	at = at.In(zone)
	expanded := make([]string, len(names))
	for seq, isNew := 1, false; !isNew; seq++ {
		isNew = true
		for i, name := range names {
			expanded[i] = placeholder.ReplaceAllStringFunc(name, func(word string) string {
				switch word {
				case "{date}":
					return at.Format("2006-01-02")
				case "{time}":
					return at.Format("20060102T150405")
				}
				return strconv.Itoa(seq)
			})
			if _, err := os.Lstat(expanded[i]); err == nil && strings.Contains(name, "{seq}") {
				isNew = false
			}
		}
	}
	copy(names, expanded)
}
