package fault

import "strings"

// wordRunes need no quotes in a shell's word.
const wordRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:@%"

// Word returns a value as one word of a command in a hint, which a person copies into a shell.
func Word(value string) string {
	if value != "" && strings.Trim(value, wordRunes) == "" {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}
