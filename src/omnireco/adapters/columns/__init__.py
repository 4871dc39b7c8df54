"""Large files of ordinary records, read as columns; every other record goes to the rules of its reader."""
