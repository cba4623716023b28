from facezoo.cli import main

main()
