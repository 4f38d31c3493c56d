package fault

import "strings"

// wordRunes need no quoting in a shell word.
const wordRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:@%"

// Word quotes a value as one shell word, for commands in hints.
func Word(value string) string {
	if value != "" && strings.Trim(value, wordRunes) == "" {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// Join lists words as in "a, b or c", where or is last.
func Join(words []string, last string) string {
	n := len(words) - 1
	if n < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n], ", ") + " " + last + " " + words[n]
}
