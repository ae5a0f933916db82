print("imgserv")
