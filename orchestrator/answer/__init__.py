"""From records to statistics, tables, figures and explanations."""
