"""What do they want?"""
