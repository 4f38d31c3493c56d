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
